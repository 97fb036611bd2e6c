<?php
// Sends a code by mail. {"to": …, "code": …}: {"sent": true}, or 503 with what the mail server, or its absence, said.
// Real SMTP, by libcurl: in production, SMTP_URL, SMTP_USER and SMTP_PASSWORD name a real server (smtps://…).

function handler($event, $context)
{
    ['to' => $to, 'code' => $code] = $event['json'];
    $from = getenv('MAIL_FROM') ?: 'hello@example.org';
    $mail = implode("\r\n", [
        "From: <$from>",
        "To: <$to>",
        'Date: ' . date('r'),
        "Message-ID: <{$context->id}@example.org>",
        'Subject: Your code',
        'Content-Type: text/plain; charset=utf-8',
        '',
        "Your code is $code.",
        '',
    ]);
    $failed = send($from, $to, $mail);
    if ($failed !== null) {
        error_log("no mail to $to: $failed");
        return ['statusCode' => 503, 'body' => $failed];
    }
    return ['sent' => true];
}

/** What went wrong; null once the server has taken the mail. */
function send(string $from, string $to, string $mail): ?string
{
    if (preg_match('/[\s<>]/', $to)) { // a second line would be a second header
        return "$to is not an address";
    }
    $body = fopen('php://memory', 'r+');
    fwrite($body, $mail);
    rewind($body);
    $curl = curl_init(getenv('SMTP_URL') ?: 'smtp://mail:25');
    curl_setopt_array($curl, [
        CURLOPT_MAIL_FROM => "<$from>",
        CURLOPT_MAIL_RCPT => ["<$to>"],
        CURLOPT_UPLOAD => true,
        CURLOPT_INFILE => $body,
        CURLOPT_USERNAME => getenv('SMTP_USER') ?: null,
        CURLOPT_PASSWORD => getenv('SMTP_PASSWORD') ?: null,
        CURLOPT_CONNECTTIMEOUT => 3,
        CURLOPT_TIMEOUT => 10,
    ]);
    return curl_exec($curl) === false ? curl_error($curl) : null;
}
