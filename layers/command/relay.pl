# One data connection of the host, and a TCP connection to the command for each request under way on it. Bytes pass
# unchanged.
#
# TCP connections are shared by all relays and used again, under two rules. None is kept while a request has waited long
# on one that was never answered: a server that serves one at a time waits for us to leave the other. And a server may end
# an idle connection at any time, also while a request is on its way. Then the kernel tells: whoever closes with bytes
# unread resets the connection, and whoever has read them does not. So a request that was sent whole, at once, on a
# connection that then was reset before a byte of an answer, goes once more on a new one; any other does not.

package Relay;

use strict;
use warnings;

use constant {
    AF_UNIX => 1, AF_INET => 2, AF_INET6 => 10, SOCK_STREAM => 1, IPPROTO_TCP => 6, TCP_NODELAY => 1,
    SOL_SOCKET => 1, SO_ERROR => 4,
    PIECE => 65536,    # bytes read at a time, and so at most held for one direction
    STARVED_MS => 50,  # a request that waits so long on a new connection may wait for another to be left
    WHOLE => 4096,     # bytes of a request that any server reads at once, or not at all; larger ones get a new connection
};

my %ADDRESS = (
    4 => sub { pack 'S n C4 x8', AF_INET, $_[0], 127, 0, 0, 1 },
    6 => sub { pack 'S n N x15 C N', AF_INET6, $_[0], 0, 1, 0 },
);

# Dials the host. `$site` has: `port`, `families` (where the command listens: 4, 6), `single` (one request, then it is
# over), `closing` (no new request), `idle` (connections to use again), `waiting` (since when requests wait on one that
# never was answered), and is told `relayed($relay)` when a response is written and `parted($relay, $by_app)` when the host's
# connection has ended.
sub new {
    my ($class, $path, $site) = @_;
    socket(my $host, AF_UNIX, SOCK_STREAM | Linux::NONBLOCK | Linux::CLOEXEC, 0) or return;
    connect($host, pack 'S Z*', AF_UNIX, $path) or return;
    my $self = bless {
        host => $host, app => undef, site => $site, request => undef, response => undef, again => undef,
        to_host => '', to_app => '', held => '', sent => 0, deaf => 0, last => 0, answered => 0,
        asked => { host => Linux::IN },
    }, $class;
    Linux::watch($host, Linux::IN, sub { $self->ready('host', $_[0]) });
    return $self;
}

# An exchange is under way: a request was begun and is not answered yet, or its answer not all written.
sub busy { my ($self) = @_; return defined $self->{app} || length $self->{to_host} }

sub ready {
    my ($self, $side, $events) = @_;
    $self->flush($side) if $events & Linux::OUT && $self->{$side};
    $self->read($side) if $events & ~Linux::OUT && $self->{$side};
}

my $data = '';

sub read {
    my ($self, $side) = @_;
    my $got = sysread $self->{$side}, $data, PIECE;
    if ($got) {
        $side eq 'host' ? $self->from_host($data) : $self->from_app($data);
    } elsif (!defined $got && ($! == Linux::EAGAIN || $! == Linux::EINTR)) {
        return;
    } elsif ($side eq 'host') {
        $self->part;
    } elsif (!defined $got && $! == Linux::ECONNREFUSED) {
        $self->refused;
    } else {
        $self->app_left(defined $got ? was_reset($self->{app}) : 1);
    }
}

# Of a connection whose end was read: whether it was reset after it, since bytes of ours came too late.
sub was_reset { return unpack 'i', getsockopt $_[0], SOL_SOCKET, SO_ERROR }

# --- requests ---

sub from_host {
    my ($self, $bytes) = @_;
    while (length $bytes && $self->{host} && !$self->{last}) {
        if ($self->{request} && $self->{request}{ended}) {    # the next one, though this is not answered yet
            $self->{held} .= $bytes;
            return;
        }
        my $first = !$self->{request};
        return $self->part if $first && $self->{site}{closing};
        $self->{request} //= Framing::message();
        my $used = Framing::take($self->{request}, $bytes);
        my $piece = $used == length $bytes ? $bytes : substr $bytes, 0, $used;
        substr($bytes, 0, $used) = '';
        $first ? $self->begin($piece) : $self->go_on($piece);
    }
}

sub begin {
    my ($self, $piece) = @_;
    $self->{response} = Framing::message(answers => $self->{request});
    $self->{to_app} = $piece;
    @$self{qw(sent deaf again)} = (0, 0, undef);
    my $whole = $self->{request}{ended} && length $piece <= WHOLE;
    if ($whole && (my $idle = pop @{ $self->{site}{idle} })) {
        $self->{again} = $piece;
        $self->use($idle);
    } else {
        $self->call or return;
    }
    $self->flush('app');
}

sub go_on {
    my ($self, $piece) = @_;
    $self->{to_app} .= $piece if $self->{app} && !$self->{deaf};
    $self->flush('app') if $self->{app};
    $self->next_request if $self->{request} && !$self->{app} && $self->{request}{ended};
}

sub next_request {
    my ($self) = @_;
    my $held = $self->{held};
    @$self{qw(request response held)} = (undef, undef, '');
    $self->from_host($held) if length $held;
}

# --- connections ---

sub call {
    my ($self) = @_;
    my $site = $self->{site};
    drop($site, $site->{idle}[-1]) if @{ $site->{idle} };    # a server of one at a time waits for its last one
    $self->{families} = [@{ $site->{families} }];
    return $self->dial;
}

# A new connection; false, and the request answered, where there can be none.
sub dial {
    my ($self) = @_;
    my $family = shift @{ $self->{families} };
    my $domain = $family == 4 ? AF_INET : AF_INET6;
    socket(my $app, $domain, SOCK_STREAM | Linux::NONBLOCK | Linux::CLOEXEC, 0) or return $self->answer("no socket: $!");
    setsockopt $app, IPPROTO_TCP, TCP_NODELAY, 1;
    if (!connect($app, $ADDRESS{$family}->($self->{site}{port})) && $! != Linux::EINPROGRESS) {
        return @{ $self->{families} } ? $self->dial : $self->answer("port $self->{site}{port}: $!");
    }
    Linux::watch($app, Linux::IN, sub { });
    $self->use($app);
    $self->{site}{waiting}{$self} = Linux::now_ms();
    return 1;
}

sub use {
    my ($self, $app) = @_;
    $self->{app} = $app;
    $self->{asked}{app} = Linux::IN;
    Linux::redirect($app, sub { $self->ready('app', $_[0]) });
}

# The connection has served: for the next request, whoever's.
sub keep {
    my ($self) = @_;
    my ($app, $site) = @$self{qw(app site)};
    $self->ask('app', Linux::IN);
    $self->{app} = undef;
    push @{ $site->{idle} }, $app;
    Linux::redirect($app, sub { drop($site, $app) });    # the server has ended it, or says what nobody asked
}

# Whether a request waits that another connection may be in the way of.
sub starves {
    my ($site) = @_;
    my $before = %{ $site->{waiting} } ? Linux::now_ms() - STARVED_MS : 0;
    return grep { $_ <= $before } values %{ $site->{waiting} };
}

# To be asked now and then while there are both: idle connections, and requests that wait.
sub relieve {
    my ($site) = @_;
    return unless @{ $site->{idle} } && starves($site);
    drop($site, $_) for @{ $site->{idle} };
}

sub drop {
    my ($site, $app) = @_;
    $site->{idle} = [grep { $_ != $app } @{ $site->{idle} }];
    Linux::forget($app);
    close $app;
}

sub hang_up {
    my ($self) = @_;
    return unless $self->{app};
    $self->known;
    Linux::forget($self->{app});
    close $self->{app};
    $self->{app} = undef;
}

# It is known by now what becomes of a new connection: it was answered, or it is gone.
sub known {
    my ($self) = @_;
    delete $self->{site}{waiting}{$self};
}

# Nothing of the request was taken: the next address where there is one, else an answer in the app's place.
sub refused {
    my ($self) = @_;
    return $self->app_left(0) if $self->{sent};
    $self->hang_up;
    return $self->answer("nothing listens on port $self->{site}{port} any more") unless @{ $self->{families} };
    $self->dial and $self->flush('app');
}

sub answer {
    my ($self, $why) = @_;
    my $body = '{"error":{"type":"NotListening","message":' . Json::quoted($why) . '}}';
    $self->{to_host} .= sprintf "HTTP/1.1 502 Bad Gateway\r\nX-Fnctl-Error: bad_response\r\n"
        . "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", length $body, $body;
    $self->over(0);
    return 0;
}

# --- responses ---

sub from_app {
    my ($self, $bytes) = @_;
    $self->known;
    $self->{again} = undef;
    my $used = Framing::take($self->{response}, $bytes);
    $self->{to_host} .= $used == length $bytes ? $bytes : substr $bytes, 0, $used;
    return $self->over($used == length $bytes) if $self->{response}{ended};
    $self->flush('host');
    $self->open_tunnel if $self->{response}{tunnel} && $self->{request}{ended};
}

# From here on there are no messages: whatever comes passes, until one side ends it.
sub open_tunnel {
    my ($self) = @_;
    @{ $self->{request} }{qw(phase ended)} = ('rest', 0);
    my $held = $self->{held};
    $self->{held} = '';
    $self->from_host($held) if length $held;
}

# The server has ended the connection. That is the end of some responses, and before their end of others: both ways the
# host can only be told by the end of its own.
sub app_left {
    my ($self, $reset) = @_;
    return $self->once_more if $reset && defined $self->{again};
    $self->{last} = 1;
    $self->over(0);
}

sub once_more {
    my ($self) = @_;
    $self->hang_up;
    @$self{qw(to_app again sent)} = ($self->{again}, undef, 0);
    $self->call and $self->flush('app');
}

# The response is complete. What is left of the request, nobody reads. `$good`: the connection may serve another.
sub over {
    my ($self, $good) = @_;
    my $site = $self->{site};
    my $keep = $good && $self->{app} && $self->{request}{ended} && !$self->{deaf} && !$self->{response}{close}
        && !starves($site) && !$site->{single};
    $keep ? $self->keep : $self->hang_up;
    @$self{qw(to_app answered)} = ('', 1);
    $self->flush('host') or return;
    $self->next_request if $self->{request} && $self->{request}{ended};
}

# --- bytes ---

# Write what waits for a side. What does not go now goes when it is ready; the other side is not read until then.
# False where the connection of the host has ended over it.
sub flush {
    my ($self, $side) = @_;
    my $waits = "to_$side";
    return defined $self->{host} unless $self->{$side};
    if (length $self->{$waits}) {
        my $wrote = syswrite $self->{$side}, $self->{$waits};
        if ($wrote) {
            substr($self->{$waits}, 0, $wrote) = '';
            $self->{sent} = 1 if $side eq 'app';
        } elsif ($! != Linux::EAGAIN && $! != Linux::EINTR) {
            return $self->unwritable($side);
        }
    }
    return 0 if $side eq 'host' && !length $self->{to_host} && $self->written;
    for my $each (qw(host app)) {
        $self->ask($each, $self->wish($each)) if $self->{$each};
    }
    return 1;
}

# All that there was for the host is with it. True where that was the last.
sub written {
    my ($self) = @_;
    if ($self->{last}) {
        $self->part;
        return 1;
    }
    if ($self->{answered}) {
        $self->{answered} = 0;
        $self->{site}->relayed($self);
    }
    return 0;
}

sub unwritable {
    my ($self, $side) = @_;
    if ($side eq 'host') {
        $self->part;
        return 0;
    }
    if ($! == Linux::ECONNREFUSED) { $self->refused }
    elsif (defined $self->{again}) { $self->once_more }
    else { @$self{qw(to_app deaf)} = ('', 1) }    # it reads no more, but may have answered: that is found by reading
    return defined $self->{host};
}

sub wish {
    my ($self, $side) = @_;
    my $mask = length $self->{ $side eq 'host' ? 'to_app' : 'to_host' } ? 0 : Linux::IN;
    return length $self->{"to_$side"} ? $mask | Linux::OUT : $mask;
}

sub ask {
    my ($self, $side, $mask) = @_;
    return if $self->{asked}{$side} == $mask;
    $self->{asked}{$side} = $mask;
    Linux::change($self->{$side}, $mask);
}

sub part {
    my ($self) = @_;
    return unless $self->{host};
    $self->hang_up;
    Linux::forget($self->{host});
    close $self->{host};
    @$self{qw(host to_host to_app held)} = (undef, '', '', '');
    $self->{site}->parted($self, $self->{last});
}

1;
