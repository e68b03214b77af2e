<?php

// Does once what a portal does. Standard input has the task as JSON, and standard output the result:
//
//   php portal.php <<< '{"do": "text", "url": "http://127.0.0.1:8895/bitrix/pub/", "channels": ["..."], "message": {...}}'

declare(strict_types=1);

require __DIR__ . '/http.php';
require __DIR__ . '/protobuf.php';
require __DIR__ . '/transports.php';
require __DIR__ . '/selftest.php';
require __DIR__ . '/settings.php';

$task = json_decode(stream_get_contents(STDIN), true, flags: JSON_THROW_ON_ERROR);
$result = match ($task['do']) {
    'text' => Text::publish($task),
    'text statistics' => Text::statistics($task),
    'protobuf' => ProtobufTransport::publish($task),
    'protobuf statistics' => ProtobufTransport::statistics($task),
    'json-rpc' => JsonRpc::publish($task),
    'json-rpc call' => JsonRpc::call($task),
    'token' => Token::make($task),
    'self-test' => selfTest($task),
    'settings page' => SettingsPage::register($task),
};
echo json_encode($result, JSON_THROW_ON_ERROR | JSON_UNESCAPED_UNICODE | JSON_UNESCAPED_SLASHES | JSON_INVALID_UTF8_SUBSTITUTE), "\n";
