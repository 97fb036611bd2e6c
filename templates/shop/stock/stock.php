<?php
// GET ?product=tea: how many there are. POST /reserve and /release {"product": …}: one less, one more.
const STOCK = ['tea' => 12, 'cup' => 0];

function handler($event, $context)
{
    $product = $event['query']['product'] ?? json_decode($event['body'] ?? '', true)['product'] ?? '';
    $count = STOCK[$product] ?? 0;
    if ($event['method'] === 'GET') {
        return ['count' => $count];
    }
    error_log("{$event['path']} $product");
    if ($event['path'] === '/reserve' && $count === 0) {
        return ['statusCode' => 409, 'body' => 'out of stock'];
    }
    return ['done' => true];
}
