<?php

declare(strict_types=1);

/** The two requests that the portal makes in protobuf, field by field in the order of its own encoder. */
final class Protobuf
{
    /**
     * A RequestBatch with one IncomingMessagesRequest.
     *
     * @param array<array{channels: string[], body: string, expiry: int, type: string}> $messages channels are hexadecimal private ids
     */
    public static function publish(array $messages): string
    {
        $list = '';
        foreach ($messages as $message) {
            $fields = '';
            foreach ($message['channels'] as $id) {
                $fields .= self::bytes(1, self::privateId($id));
            }
            $fields .= self::bytes(3, $message['body']) . self::number(4, $message['expiry']);
            if ($message['type'] !== '') {
                $fields .= self::bytes(5, $message['type']);
            }
            $list .= self::bytes(1, $fields);
        }
        return self::bytes(1, self::bytes(1, $list));
    }

    /**
     * A RequestBatch with one ChannelStatsRequest.
     *
     * @param string[] $channels hexadecimal private ids
     */
    public static function channelStats(array $channels): string
    {
        $list = '';
        foreach ($channels as $id) {
            $list .= self::bytes(1, self::privateId($id));
        }
        return self::bytes(1, self::bytes(2, $list));
    }

    /**
     * The answers of the first Response of a ResponseBatch, if it is a ChannelStatsResponse; the portal looks at no other.
     *
     * @return array<string, bool> online by hexadecimal id
     */
    public static function online(string $batch): array
    {
        $online = [];
        $response = self::fields($batch)[1][0] ?? '';
        $stats = self::fields($response)[2][0] ?? '';
        foreach (self::fields($stats)[1] ?? [] as $entry) {
            $fields = self::fields($entry);
            $online[bin2hex($fields[1][0])] = (bool)($fields[3][0] ?? false);
        }
        return $online;
    }

    private static function privateId(string $id): string
    {
        return self::bytes(1, hex2bin($id)) . self::number(2, 1);
    }

    private static function bytes(int $field, string $value): string
    {
        return self::varint($field << 3 | 2) . self::varint(strlen($value)) . $value;
    }

    private static function number(int $field, int $value): string
    {
        return self::varint($field << 3) . self::varint($value);
    }

    private static function varint(int $value): string
    {
        for ($bytes = ''; $value > 0x7f; $value >>= 7) {
            $bytes .= chr($value & 0x7f | 0x80);
        }
        return $bytes . chr($value);
    }

    /** @return array<int, array<string|int>> the values of a message by field number */
    private static function fields(string $bytes): array
    {
        $fields = [];
        for ($at = 0; $at < strlen($bytes);) {
            $key = self::readVarint($bytes, $at);
            switch ($key & 7) {
                case 0:
                    $value = self::readVarint($bytes, $at);
                    break;
                case 2:
                    $size = self::readVarint($bytes, $at);
                    $value = substr($bytes, $at, $size);
                    $at += $size;
                    break;
                default:
                    throw new UnexpectedValueException('wire type ' . ($key & 7));
            }
            $fields[$key >> 3][] = $value;
        }
        return $fields;
    }

    private static function readVarint(string $bytes, int &$at): int
    {
        $value = 0;
        for ($shift = 0; ; $shift += 7) {
            $byte = ord($bytes[$at++]);
            $value |= ($byte & 0x7f) << $shift;
            if ($byte < 0x80) {
                return $value;
            }
        }
    }
}
