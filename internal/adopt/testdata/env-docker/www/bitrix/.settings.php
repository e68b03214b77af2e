<?php
return [
    'utf_mode' => ['value' => true, 'readonly' => true],
    'cache' => [
        'value' => [
            'type' => ['class_name' => '\\Bitrix\\Main\\Data\\CacheEngineRedis', 'extension' => 'redis'],
            'redis' => ['host' => 'redis', 'port' => '6379'],
        ],
    ],
    'pull' => [
        'value' => [
            'path_to_listener' => 'http://#DOMAIN#/bitrix/sub/',
            'path_to_listener_secure' => 'https://#DOMAIN#/bitrix/sub/',
            'path_to_modern_listener' => 'http://#DOMAIN#/bitrix/sub/',
            'path_to_modern_listener_secure' => 'https://#DOMAIN#/bitrix/sub/',
            'path_to_mobile_listener' => 'http://#DOMAIN#:8893/bitrix/sub/',
            'path_to_mobile_listener_secure' => 'https://#DOMAIN#:8894/bitrix/sub/',
            'path_to_websocket' => 'ws://#DOMAIN#/bitrix/subws/',
            'path_to_websocket_secure' => 'wss://#DOMAIN#/bitrix/subws/',
            'path_to_publish' => 'http://nginx/bitrix/pub/',
            'path_to_publish_web' => 'http://#DOMAIN#/bitrix/rest/',
            'path_to_publish_web_secure' => 'https://#DOMAIN#/bitrix/rest/',
            'path_to_json_rpc' => 'http://nginx/bitrix/api/',
            'nginx_version' => '4',
            'nginx' => 'Y',
            'websocket' => 'Y',
            'signature_key' => 'env-docker-0123456789-abcdefghijklmnop',
            'signature_algo' => 'sha1',
            'guest' => 'N',
        ],
    ],
];
