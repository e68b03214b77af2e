<?php

declare(strict_types=1);

/** What came back of a request. Nothing of it is an exception: the portal goes on, whatever happens. */
final class Answer
{
    public int $status = 0; // 0 if there was no answer
    public array $headers = []; // by lower-case name
    public string $body = '';
    public string $error = ''; // of the network; the only thing that the portal counts as a failure of the server
    public float $ms = 0;
}

/** HTTP with the habits of the portal's own client: one connection for each request, head and body written one after the other. */
final class HttpClient
{
    /**
     * @param int $wait seconds that every read may take
     * @param bool $readBody false closes the connection after the head of the answer
     */
    public function __construct(private readonly int $wait, private readonly bool $readBody = true)
    {
    }

    /** @param array<string, string> $headers of the caller, in his order */
    public function request(string $method, string $url, array $headers = [], string $body = ''): Answer
    {
        $answer = new Answer();
        $start = hrtime(true);
        try {
            $this->exchange($answer, $method, parse_url($url), $headers, $body);
        } catch (NetworkError $e) {
            $answer->error = $e->getMessage();
        }
        $answer->ms = (hrtime(true) - $start) / 1e6;
        return $answer;
    }

    private function exchange(Answer $answer, string $method, array $url, array $headers, string $body): void
    {
        $target = ($url['path'] ?? '/') . (isset($url['query']) ? '?' . $url['query'] : '');
        $socket = @stream_socket_client("tcp://{$url['host']}:" . ($url['port'] ?? 80), $code, $message, 30);
        if ($socket === false) {
            throw new NetworkError("connect: $message");
        }
        try {
            stream_set_timeout($socket, $this->wait);
            // The port never stands in Host. A POST without a Content-Type gets that of a form, whatever its body is; a GET may have a body.
            $head = "$method $target HTTP/1.1\r\nHost: {$url['host']}\r\nConnection: close\r\nAccept: */*\r\nAccept-Language: en\r\n";
            if ($method === 'POST') {
                $headers += ['Content-Type' => 'application/x-www-form-urlencoded'];
            }
            if ($method === 'POST' || $body !== '') {
                $headers['Content-Length'] = (string)strlen($body);
            }
            foreach ($headers as $name => $value) {
                $head .= "$name: $value\r\n";
            }
            $this->write($socket, "$head\r\n");
            $this->write($socket, $body);
            $this->readHead($socket, $answer);
            if ($this->readBody) {
                $this->readBody($socket, $answer);
            }
        } finally {
            fclose($socket);
        }
    }

    private function write($socket, string $bytes): void
    {
        for ($sent = 0; $sent < strlen($bytes); $sent += $n) {
            $n = @fwrite($socket, substr($bytes, $sent, 65536));
            if ($n === false || $n === 0) {
                throw new NetworkError('write');
            }
        }
    }

    private function readHead($socket, Answer $answer): void
    {
        $line = $this->line($socket);
        if (!preg_match('#^HTTP/1\.[01] (\d{3})\b#', $line, $match)) {
            throw new NetworkError("no status line: $line");
        }
        while (($field = rtrim($this->line($socket), "\r\n")) !== '') {
            [$name, $value] = explode(':', $field, 2);
            $answer->headers[strtolower($name)] = trim($value);
        }
        $answer->status = (int)$match[1];
    }

    private function readBody($socket, Answer $answer): void
    {
        if (strtolower($answer->headers['transfer-encoding'] ?? '') === 'chunked') {
            while (($size = hexdec(trim($this->line($socket)))) > 0) {
                $answer->body .= $this->bytes($socket, $size);
                $this->line($socket);
            }
        } elseif (isset($answer->headers['content-length'])) {
            $answer->body = $this->bytes($socket, (int)$answer->headers['content-length']);
        } else {
            while (!feof($socket)) {
                $answer->body .= $this->checked($socket, fread($socket, 65536));
            }
        }
    }

    private function line($socket): string
    {
        return $this->checked($socket, fgets($socket, 65536));
    }

    private function bytes($socket, int $size): string
    {
        for ($bytes = ''; strlen($bytes) < $size; $bytes .= $more) {
            $more = $this->checked($socket, fread($socket, $size - strlen($bytes)));
            if ($more === '' && feof($socket)) {
                throw new NetworkError('the answer breaks off');
            }
        }
        return $bytes;
    }

    private function checked($socket, string|false $bytes): string
    {
        if (stream_get_meta_data($socket)['timed_out']) {
            throw new NetworkError("nothing for {$this->wait} s");
        }
        if ($bytes === false) {
            throw new NetworkError('the answer breaks off');
        }
        return $bytes;
    }
}

final class NetworkError extends RuntimeException
{
}
