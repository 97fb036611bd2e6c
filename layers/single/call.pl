# One client's connection and its one request: its head is read, it waits for its turn, and is relayed to a process.
# Each head passes with `Connection: close`; bodies pass unchanged, no further than they are the message's.

package Call;

use strict;
use warnings;

use constant {
    AF_INET => 2, AF_INET6 => 10, SOCK_STREAM => 1, IPPROTO_TCP => 6, TCP_NODELAY => 1,
    PIECE => 65536,       # bytes read at a time, and so at most held for one direction
    MAX_HEAD => 65536,    # bytes of a head
    HEAD_MS => 60_000,    # a client may be silent this long before its head is there
    TURN_MS => 60_000,    # a call may wait this long for its turn
    PARTING_MS => 1_000,  # for what a client that is answered already still sends
};

my %SAYS = (
    400 => ['bad_request', 'this is not an HTTP/1.1 request'],
    431 => ['header_too_large', 'the head of the request is longer than 64 KiB'],
    502 => ['crash', 'the process ended before it answered'],
    503 => ['overloaded', 'other calls are made first: a container of an ephemeral function makes one at a time'],
    504 => ['timeout', 'no answer began in time'],
);
my %REASON = (400 => 'Bad Request', 431 => 'Request Header Fields Too Large', 502 => 'Bad Gateway',
    503 => 'Service Unavailable', 504 => 'Gateway Timeout');

# `$front` is told `queue($call)`, `served($call, $until, its connection to the process, where it is open)` and
# `closed($call)`.
sub new {
    my ($class, $client, $front) = @_;
    my $self = bless {
        client => $client, app => undef, front => $front, request => Framing::message(), response => undef, head => '',
        answer_head => '', to_client => '', to_app => '', phase => 'head', until => Linux::now_ms() + HEAD_MS,
        began => 0, silent_since => 0, asked => {},
    }, $class;
    setsockopt $client, IPPROTO_TCP, TCP_NODELAY, 1;
    $self->follow('client', $client);
    return $self;
}

sub follow {
    my ($self, $side, $socket) = @_;
    unblock($socket);
    $self->{asked}{$side} = Linux::IN;
    Linux::watch($socket, Linux::IN, sub { $self->ready($side, $_[0]) });
}

sub unblock { fcntl $_[0], 4, Linux::NONBLOCK }    # F_SETFL

sub ready {
    my ($self, $side, $events) = @_;
    $self->flush($side) if $events & Linux::OUT && $self->{$side};
    $self->read($side) if $events & ~Linux::OUT && $self->{$side};
    $self->watch;
}

sub read {
    my ($self, $side) = @_;
    my $got = sysread $self->{$side}, my $bytes, PIECE;
    return if !defined $got && ($! == Linux::EAGAIN || $! == Linux::EINTR);
    if ($got) { $side eq 'client' ? $self->from_client($bytes) : $self->from_app($bytes) }
    elsif ($side eq 'app') { $self->app_left }
    elsif (defined $got && $self->{request}{ended}) { $self->{deaf} = 1 }    # it sends no more, and waits for the answer
    else { $self->close }
}

# --- the request ---

sub from_client {
    my ($self, $bytes) = @_;
    return if $self->{phase} eq 'over' || $self->{phase} eq 'parting';
    if ($self->{phase} eq 'head') {
        $self->{head} .= $bytes;
        my $end = index $self->{head}, "\r\n\r\n";
        return length $self->{head} > MAX_HEAD ? $self->answer(431) : undef if $end < 0;
        $bytes = substr $self->{head}, $end + 4;
        $self->asks(substr $self->{head}, 0, $end + 4) or return;
    }
    my $used = $self->{request}{ended} ? 0 : Framing::take($self->{request}, $bytes);
    $self->{to_app} .= substr $bytes, 0, $used;
    $self->flush('app') if $self->{app};
}

sub asks {
    my ($self, $head) = @_;
    return $self->answer(400) unless $head =~ m{\A[!-~]+ [!-\xff]+ HTTP/1\.[01]\r\n};
    Framing::take($self->{request}, $head);
    $head =~ s/^X-Fnctl-[^\r]*\r\n//gim;
    $self->{to_app} = last_of_its_connection($head);
    @$self{qw(phase until)} = ('waiting', Linux::now_ms() + TURN_MS);
    $self->{front}->queue($self);
    return 1;
}

sub last_of_its_connection {
    my ($head) = @_;
    return $head if $head =~ /^Upgrade:/im;
    $head =~ s/^(?:Connection|Keep-Alive|Proxy-Connection):[^\r]*\r\n//gim;
    return $head =~ s/\r\n\z/Connection: close\r\n\r\n/r;
}

# It is its turn.
sub begin {
    my ($self, $process) = @_;
    my $now = Linux::now_ms();
    @$self{qw(phase began until)} = ('served', $now, $now + $process->{load}{timeout_ms});
    $self->{response} = Framing::message(answers => $self->{request});
    my ($domain, $address) = $process->{family} == 4
        ? (AF_INET, pack 'S n C4 x8', AF_INET, $process->{port}, 127, 0, 0, 1)
        : (AF_INET6, pack 'S n N x15 C N', AF_INET6, $process->{port}, 0, 1, 0);
    socket(my $app, $domain, SOCK_STREAM | Linux::CLOEXEC, 0) or return $self->answer(502);
    connect($app, $address) or return $self->answer(502);    # on loopback, where it listens: at once
    setsockopt $app, IPPROTO_TCP, TCP_NODELAY, 1;
    $self->{app} = $app;
    $self->follow('app', $app);
    $self->flush('app');
    $self->watch;
}

# --- the answer ---

sub from_app {
    my ($self, $bytes) = @_;
    return if $self->{phase} ne 'served';
    my $used = Framing::take($self->{response}, $bytes);
    my $piece = substr $bytes, 0, $used;
    $self->{to_client} .= defined $self->{answer_head} ? $self->answers($piece) : $piece;
    $self->{silent_since} = Linux::now_ms();
    if ($self->{response}{tunnel}) { @{ $self->{request} }{qw(phase ended)} = ('rest', 0) }
    if ($self->{response}{ended}) { $self->over }
    else { $self->flush('client') }
}

# What can pass of an answer whose head is not through yet.
sub answers {
    my ($self, $piece) = @_;
    $self->{answer_head} .= $piece;
    my $passed = '';
    while ((my $end = index $self->{answer_head}, "\r\n\r\n") >= 0) {
        my $head = substr $self->{answer_head}, 0, $end + 4, '';
        my $more = $head =~ m{\AHTTP/1\.1 1(?!01)};    # 100, 103: another head follows
        $passed .= $more || $self->{response}{tunnel} ? $head : last_of_its_connection($head =~ s/^Upgrade:[^\r]*\r\n//gimr);
        next if $more;
        $passed .= delete $self->{answer_head};
        $self->answer_began;
        last;
    }
    if (defined $self->{answer_head} && $self->{response}{phase} eq 'rest') {    # no head at all
        $passed .= delete $self->{answer_head};
        $self->answer_began;
    }
    return $passed;
}

sub answer_began {
    my ($self) = @_;
    $self->{until} = undef;
}

# The process has ended its connection.
sub app_left {
    my ($self) = @_;
    defined $self->{answer_head} ? $self->answer(502) : $self->over;
}

sub process_ended {
    my ($self) = @_;
    $self->read('app') while $self->{app} && $self->{phase} eq 'served' && $self->unread;
    return if $self->{phase} ne 'served';
    $self->app_left;
}

sub unread {
    my ($self) = @_;
    vec(my $bits = '', fileno $self->{app}, 1) = 1;
    return select $bits, undef, undef, 0;
}

# The answer is complete, or all that there will be of it.
sub over {
    my ($self) = @_;
    my ($now, $load) = (Linux::now_ms(), $self->{front}{load});
    @$self{qw(phase until)} = ('over', $now + ($load->{idle_ms} // HEAD_MS));    # for a client that reads slowly
    my $patience = $now + main::LAST_WORDS_MS;
    my $limit = $self->{began} + $load->{timeout_ms};
    my $until = !$load->{command} && $limit > $patience ? $limit : $patience;
    $self->{front}->served($self, $until, delete $self->{app});
    $self->flush('client');
}

# In place of the process.
sub answer {
    my ($self, $status) = @_;
    my ($code, $message) = @{ $SAYS{$status} };
    my $body = qq({"error":{"code":"$code","message":"$message"}}\n);
    my $retry = $status == 503 ? "Retry-After: 1\r\n" : '';
    $self->{to_client} .= "HTTP/1.1 $status $REASON{$status}\r\nContent-Type: application/json\r\n$retry"
        . 'Content-Length: ' . length($body) . "\r\nConnection: close\r\n\r\n$body";
    my $served = $self->{phase} eq 'served';
    @$self{qw(phase until)} = ('over', Linux::now_ms() + HEAD_MS);
    $self->hang_up;
    $self->{front}->served($self, 0) if $served;
    $self->flush('client');
    return 0;
}

# --- time ---

sub expire {
    my ($self, $now) = @_;
    if (!defined $self->{until}) { $self->{until} = $self->next_limit }
    return if $now < $self->{until};
    if ($self->{phase} eq 'waiting') { $self->refuse }
    elsif ($self->{phase} eq 'served' && defined $self->{answer_head}) { $self->answer(504) }
    elsif ($self->{phase} eq 'served') { $self->look_again($now) }
    else { $self->close }
}

# An answer that has begun may go on for so long, and be silent for so long.
sub next_limit {
    my ($self) = @_;
    my $load = $self->{front}{load};
    my $silent = $self->{silent_since} + ($load->{idle_ms} // HEAD_MS);
    my $whole = $self->{began} + ($load->{max_duration_ms} // $load->{timeout_ms});
    return $silent < $whole ? $silent : $whole;
}

sub look_again {
    my ($self, $now) = @_;
    $self->{until} = $self->next_limit;
    return if $now < $self->{until};
    $self->{until} = undef;
    $self->cut;
}

# An answer that took too long: its end is not there, and the client sees that.
sub cut {
    my ($self) = @_;
    $self->close(0);
}

# It does not get its turn.
sub refuse { $_[0]->answer(503); $_[0]->watch }

# --- bytes ---

sub flush {
    my ($self, $side) = @_;
    my $waits = "to_$side";
    return unless $self->{$side};
    if (length $self->{$waits}) {
        my $wrote = syswrite $self->{$side}, $self->{$waits};
        if (defined $wrote) { substr($self->{$waits}, 0, $wrote) = '' }
        elsif ($! != Linux::EAGAIN && $! != Linux::EINTR) {
            return $self->close if $side eq 'client';
            $self->{to_app} = '';    # it reads no more, but may have answered
        }
    }
    $self->part if $side eq 'client' && $self->{phase} eq 'over' && !length $self->{to_client};
}

sub watch {
    my ($self) = @_;
    for my $side (qw(client app)) {
        next unless $self->{$side};
        my $full = length($self->{ $side eq 'client' ? 'to_app' : 'to_client' }) >= PIECE;
        my $reads = !$full && !($side eq 'client' && ($self->{deaf} || $self->{phase} eq 'over'));
        my $mask = ($reads ? Linux::IN : 0) | (length $self->{"to_$side"} ? Linux::OUT : 0);
        next if $self->{asked}{$side} == $mask;
        $self->{asked}{$side} = $mask;
        Linux::change($self->{$side}, $mask);
    }
}


sub hang_up {
    my ($self) = @_;
    my $app = delete $self->{app} or return;
    Linux::forget($app);
    CORE::close $app;
}

# All is said. A connection that is closed with bytes unread is reset, and the answer with it: those are waited for.
sub part {
    my ($self) = @_;
    return $self->close if $self->{request}{ended} || $self->{deaf};
    shutdown $self->{client}, 1;
    @$self{qw(phase until)} = ('parting', Linux::now_ms() + PARTING_MS);
}

# `$patience_ms`: how long its process has, if it has one.
sub close {
    my ($self, $patience_ms) = @_;
    my $client = delete $self->{client} or return;
    my $served = $self->{phase} eq 'served';
    $self->{phase} = 'closed';
    $self->hang_up;
    Linux::forget($client);
    CORE::close $client;
    $self->{front}->closed($self);
    $self->{front}->served($self, Linux::now_ms() + ($patience_ms // main::LAST_WORDS_MS)) if $served;
}

1;
