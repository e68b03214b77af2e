<?php

declare(strict_types=1);

/** The settings page of a portal that is to use a shared server, and what it leaves in the portal's options. */
final class SettingsPage
{
    /**
     * task: cloudServer (the constant of that name, without a last slash), licence, and choose: which server of the list; none if
     * absent, so that the portal asks. A portal always writes https:// before a stored address; the task has "scheme" for that.
     *
     * The result has the options, what the page shows to choose from, and the error that it shows.
     */
    public static function register(array $task): array
    {
        $result = ['options' => ['registered_on_shared_server' => 'N'], 'shown' => [], 'error' => ''];
        $list = self::ask($task['cloudServer'] . '/servers', $result['error']);
        foreach (array_filter(explode("\n", $list), static fn (string $line) => $line !== '') as $line) {
            [$host, $region] = explode(';', $line); // of other lines PHP complains
            $servers[] = $host;
            $result['shown'][] = "$host ($region)";
        }
        $address = isset($task['choose']) ? ($servers[$task['choose']] ?? '') : self::ask($task['cloudServer'] . '/hostname', $result['error']);
        if ($result['error'] !== '') {
            return $result;
        }
        $result['options']['shared_server_address'] = $address; // as it is, whatever the registration brings

        $licence = ['BX_LICENCE' => md5("BITRIX{$task['licence']}LICENCE"), 'BX_TYPE' => 'CP'];
        $licence += ['BX_HASH' => md5(md5(implode('|', $licence)) . md5($task['licence'])), 'BX_ALL' => 'y'];
        $form = http_build_query(['verificationQuery' => http_build_query($licence)]);
        $answer = (new HttpClient(60))->request('POST', "{$task['scheme']}://$address/register-client/", [], $form);
        $decoded = json_decode($answer->body, true);
        if ($answer->error !== '' || $answer->status !== 200 || !is_array($decoded) || $decoded['status'] === 'error') {
            $result['error'] = $decoded['error'] ?? "$answer->error $answer->status";
            return $result;
        }
        $result['options'] = ['registered_on_shared_server' => 'Y', 'shared_server_key' => $decoded['securityKey']] + $result['options'];
        return $result;
    }

    /** The body of an answer with 200. An empty one is an error for the page, too. */
    private static function ask(string $url, string &$error): string
    {
        $answer = (new HttpClient(5))->request('GET', $url);
        if ($answer->error !== '' || $answer->status !== 200 || $answer->body === '') {
            $error = "$url: $answer->error $answer->status";
            return '';
        }
        return $answer->body;
    }
}
