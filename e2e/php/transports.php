<?php

declare(strict_types=1);

// What the portal posts in each version of the push server. A task has "url", the address as it stands in the portal's settings,
// and the rest by kind; a result is an Answer as an array, and "sent", the body of the request in base64.

/** Versions 1 to 3, and 4 with protobuf switched off: one post for each message, with up to a hundred channels in the address. */
final class Text
{
    private const WAIT = 5;

    /** task: channels, message (or raw: a body as it is), expiry (none if absent), read: wait for the body of the answer too */
    public static function publish(array $task): array
    {
        $body = $task['raw'] ?? encode($task['message']);
        $headers = isset($task['expiry']) ? ['Message-Expiry' => (string)$task['expiry']] : [];
        $read = $task['read'] ?? false;
        $client = new HttpClient(self::WAIT, $read);
        $result = result($client->request('POST', $task['url'] . '?CHANNEL_ID=' . implode('/', $task['channels']), $headers, $body), $body);
        if ($read) {
            // The portal makes one value of the answer, which so has to be empty or JSON.
            $result['decoded'] = json_decode('{"infos": [' . $result['body'] . ']}', true);
        }
        return $result;
    }

    /** task: channels. The list stands in the address, and again in the body of the GET. */
    public static function statistics(array $task): array
    {
        $list = implode('/', $task['channels']);
        $result = result((new HttpClient(self::WAIT))->request('GET', $task['url'] . '?CHANNEL_ID=' . $list, [], $list), $list);
        $result['online'] = [];
        foreach (json_decode($result['body'], true)['infos'] ?? [] as $info) {
            if ($info['subscribers'] > 0) {
                $result['online'][] = $info['channel'];
            }
        }
        return $result;
    }
}

/** Version 4: batches of messages, each with up to a hundred receivers. */
final class ProtobufTransport
{
    private const WAIT = 1;
    private const RECEIVERS = 100;

    /** task: messages of {channels, message, expiry?}, hostname, and in shared mode clientId and key */
    public static function publish(array $task): array
    {
        $messages = [];
        foreach ($task['messages'] as $m) {
            foreach (array_chunk($m['channels'], self::RECEIVERS) as $channels) {
                $messages[] = ['channels' => $channels, 'body' => encode($m['message']), 'expiry' => $m['expiry'] ?? 86400,
                    'type' => preg_replace('/[^a-z0-9_]/i', '', $m['message']['module_id'] . '_' . $m['message']['command'])];
            }
        }
        return self::post($task, Protobuf::publish($messages));
    }

    /** task: channels, and as above */
    public static function statistics(array $task): array
    {
        $result = self::post($task, Protobuf::channelStats($task['channels']));
        $result['online'] = [];
        if ($result['status'] === 200) {
            $result['online'] = array_keys(array_filter(Protobuf::online(base64_decode($result['bytes']))));
        }
        return $result;
    }

    private static function post(array $task, string $body): array
    {
        $query = isset($task['clientId']) ? ['clientId' => $task['clientId']] : [];
        $query += ['binaryMode' => 'true', 'hostname' => $task['hostname']];
        if (isset($task['clientId'])) {
            $query['signature'] = hash_hmac('sha1', $body, $task['key']);
        }
        return result((new HttpClient(self::WAIT))->request('POST', $task['url'] . '?' . http_build_query($query), [], $body), $body);
    }
}

/** Version 5: calls without ids, which are answered all the same, and signed bodies. */
final class JsonRpc
{
    private const WAIT = 1;

    /** task: requests of the method "publish" (their params), hostId, key, hostname, and in shared mode clientId */
    public static function publish(array $task): array
    {
        return self::post($task, array_map(static fn (array $params) => self::request('publish', $params), $task['requests']));
    }

    /** task: method, params, and as above. The result has "result" or "fault". */
    public static function call(array $task): array
    {
        $result = self::post($task, self::request($task['method'], $task['params']));
        $answer = $result['decoded'];
        if (!is_array($answer) || ($answer['jsonrpc'] ?? '') !== '2.0') {
            $result['fault'] = 'not an answer of JSON-RPC 2.0';
        } elseif (isset($answer['error'])) {
            $result['fault'] = $answer['error']['message'];
        } else {
            $result['result'] = $answer['result'];
        }
        return $result;
    }

    private static function request(string $method, array $params): array
    {
        return ['jsonrpc' => '2.0', 'method' => $method, 'params' => $params];
    }

    private static function post(array $task, array $requests): array
    {
        $body = json_encode($requests, JSON_HEX_TAG | JSON_HEX_AMP | JSON_HEX_APOS | JSON_HEX_QUOT | JSON_UNESCAPED_UNICODE | JSON_THROW_ON_ERROR);
        $query = isset($task['clientId']) ? ['clientId' => $task['clientId']] : [];
        $query += ['hostId' => $task['hostId'], 'signature' => hash_hmac('sha1', $body, $task['key']), 'hostname' => $task['hostname']];
        $result = result((new HttpClient(self::WAIT))->request('POST', $task['url'] . '?' . http_build_query($query), [], $body), $body);
        // What is not 200 with JSON in it is a failure, and the portal keeps the messages for another try.
        $result['decoded'] = $result['status'] === 200 ? json_decode($result['body'], true) : null;
        return $result;
    }
}

/** The token that the portal of version 5 gives its pages. */
final class Token
{
    /** task: claims, in their order, and key */
    public static function make(array $task): array
    {
        $signed = self::base64(['typ' => 'JWT', 'alg' => 'HS256']) . '.' . self::base64($task['claims']);
        return ['token' => $signed . '.' . self::url(hash_hmac('sha256', $signed, $task['key'], true))];
    }

    private static function base64(array $part): string
    {
        return self::url(json_encode($part, JSON_THROW_ON_ERROR));
    }

    private static function url(string $bytes): string
    {
        return rtrim(strtr(base64_encode($bytes), '+/', '-_'), '=');
    }
}

/** JSON as the portal has it in text and protobuf: letters as they are, slashes and line separators escaped. */
function encode(array $message): string
{
    return json_encode($message, JSON_UNESCAPED_UNICODE | JSON_THROW_ON_ERROR);
}

function result(Answer $answer, string $sent): array
{
    return ['headers' => (object)$answer->headers] + (array)$answer + ['bytes' => base64_encode($answer->body), 'sent' => base64_encode($sent)];
}
