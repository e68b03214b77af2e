<?php

declare(strict_types=1);

/**
 * The check "check_pull_stream" of the portal's system check.
 *
 * task: listener and url (where to subscribe and where to publish), channel (a private id), and signed (the same with its signature)
 */
function selfTest(array $task): array
{
    $listener = parse_url($task['listener']);
    $socket = fsockopen($listener['host'], $listener['port'], $code, $message, 5);
    if ($socket === false) {
        return ['ok' => false, 'read' => "no connection: $message"];
    }
    fwrite($socket, "GET {$listener['path']}?CHANNEL_ID={$task['signed']} HTTP/1.0\r\n"
        . 'If-Modified-Since: ' . gmdate('D, d M Y H:i:s') . " GMT\r\nHost: {$listener['host']}\r\n\r\n");
    sleep(1);

    $text = md5(uniqid('', true)); // not JSON
    $post = Text::publish(['url' => $task['url'], 'channels' => [$task['channel']], 'raw' => $text, 'read' => true]);

    // One read has to give the head and the body.
    stream_set_timeout($socket, 5);
    $read = (string)fread($socket, 4096);
    fclose($socket);
    (new HttpClient(5, false))->request('DELETE', $task['url'] . '?CHANNEL_ID=' . $task['channel']);
    return ['ok' => $post['decoded'] !== null && str_contains($read, $text), 'read' => $read, 'post' => $post];
}
