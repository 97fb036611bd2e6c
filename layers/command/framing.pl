# Where an HTTP/1.1 message ends (RFC 9112, section 6): bytes are counted, never changed. Not a check of messages: the
# host wrote the one kind and judges the other.

package Framing;

use strict;
use warnings;

use constant MAX_HEAD => 1 << 17;    # past it, it is no head: passed on as it comes, for the host to refuse

my %STEP = (head => \&head, length => \&counted, size => \&chunk_size, chunk => \&chunk, trailer => \&trailer,
    rest => \&everything);

# A message that is to come. `answers`: the request, where it is a response. Fields to read: `ended`; `phase`, which is
# `rest` where only the end of the connection ends it; a request's `method`; a response's `close` (its sender ends the
# connection after it) and `tunnel` (it has switched protocols).
sub message {
    my (%with) = @_;
    return { phase => 'head', text => '', left => 0, ended => 0, %with };
}

# How many of these bytes belong to the message, from the first one on.
sub take {
    my ($message, $data) = @_;
    my $used = 0;
    while (!$message->{ended} && $used < length $data) {
        $used += $STEP{ $message->{phase} }->($message, $data, $used);
    }
    return $used;
}

sub head {
    my ($message, $data, $from) = @_;
    my $before = length $message->{text};
    $message->{text} .= substr $data, $from;
    my $end = index $message->{text}, "\r\n\r\n", $before > 3 ? $before - 3 : 0;
    if ($end < 0) {
        $message->{phase} = 'rest' if length $message->{text} > MAX_HEAD;
        return length($data) - $from;
    }
    my $head = substr $message->{text}, 0, $end + 2;
    $message->{text} = '';
    $message->{answers} ? response($message, $head) : request($message, $head);
    return $end + 4 - $before;
}

sub request {
    my ($message, $head) = @_;
    ($message->{method}) = $head =~ /\A(\S+)/;
    body($message, $head) or $message->{ended} = 1;
}

sub response {
    my ($message, $head) = @_;
    my ($status) = $head =~ m{\AHTTP/1\.[01] (\d{3})\b};
    if (!defined $status) {
        $message->{phase} = 'rest';
    } elsif ($status == 101) {
        $message->{phase} = 'rest';
        $message->{tunnel} = 1;
    } elsif ($status < 200) {
        $message->{phase} = 'head';    # another head follows
        return;
    } elsif ($message->{answers}{method} eq 'HEAD' || $status == 204 || $status == 304) {
        $message->{ended} = 1;
    } else {
        body($message, $head) or $message->{phase} = 'rest';
    }
    $message->{close} = $head =~ m{\AHTTP/1\.0|\r\nConnection:[^\r]*\bclose\b}i;
}

# Sets what is to be counted from here on; false where the head announces no body.
sub body {
    my ($message, $head) = @_;
    if ($head =~ /\r\nTransfer-Encoding:[^\r]*\bchunked\b/i) {
        $message->{phase} = 'size';
    } elsif ($head =~ /\r\nContent-Length:[ \t]*(\d+)/i) {
        $message->{phase} = 'length';
        $message->{left} = $1;
        $message->{ended} = 1 if $1 == 0;
    } else {
        return 0;
    }
    return 1;
}

sub counted {
    my ($message, $data, $from) = @_;
    my $taken = least($message->{left}, length($data) - $from);
    $message->{ended} = 1 if ($message->{left} -= $taken) == 0;
    return $taken;
}

sub chunk_size {
    my ($message, $data, $from) = @_;
    return line($message, $data, $from, sub {
        my ($size) = $_[0] =~ /\A\s*([0-9a-fA-F]+)/;
        return $message->{phase} = 'rest' unless defined $size && length $size < 16;
        $message->{left} = hex($size) + 2;    # and the line's end behind it
        $message->{phase} = hex $size ? 'chunk' : 'trailer';
    });
}

sub chunk {
    my ($message, $data, $from) = @_;
    my $taken = least($message->{left}, length($data) - $from);
    $message->{phase} = 'size' if ($message->{left} -= $taken) == 0;
    return $taken;
}

sub trailer {
    my ($message, $data, $from) = @_;
    return line($message, $data, $from, sub { $message->{ended} = 1 if $_[0] =~ /\A\r?\n\z/ });
}

# Gathers one line, with its end, and calls `$then` with it.
sub line {
    my ($message, $data, $from, $then) = @_;
    my $end = index $data, "\n", $from;
    my $taken = ($end < 0 ? length $data : $end + 1) - $from;
    $message->{text} .= substr $data, $from, $taken;
    if ($end >= 0) {
        my $line = $message->{text};
        $message->{text} = '';
        $then->($line);
    } elsif (length $message->{text} > MAX_HEAD) {
        $message->{phase} = 'rest';
    }
    return $taken;
}

sub everything {
    my ($message, $data, $from) = @_;
    return length($data) - $from;
}

sub least { $_[0] < $_[1] ? $_[0] : $_[1] }

1;
