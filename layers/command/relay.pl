# One data connection of the host, and a TCP connection to the command for each request on it. Bytes pass unchanged.
#
# A connection a request: an app may end an idle one at any time, and a request that is on its way then would be lost,
# or be sent twice. And a server that serves one connection at a time is never kept waiting by an idle one.

package Relay;

use strict;
use warnings;

use constant {
    AF_UNIX => 1, AF_INET => 2, AF_INET6 => 10, SOCK_STREAM => 1, IPPROTO_TCP => 6, TCP_NODELAY => 1,
    PIECE => 65536,    # bytes read at a time, and so at most held for one direction
};

my %ADDRESS = (
    4 => sub { pack 'S n C4 x8', AF_INET, $_[0], 127, 0, 0, 1 },
    6 => sub { pack 'S n N x15 C N', AF_INET6, $_[0], 0, 1, 0 },
);

# Dials the host. `$site` has: `port`, `families` (where the command listens: 4, 6), `single` (one request, then it is
# over), `closing` (no new request), and is told `relayed($relay)` when a response is written and `parted($relay, $by_app)`
# when the host's connection has ended.
sub new {
    my ($class, $path, $site) = @_;
    socket(my $host, AF_UNIX, SOCK_STREAM | Linux::NONBLOCK | Linux::CLOEXEC, 0) or return;
    connect($host, pack 'S Z*', AF_UNIX, $path) or return;
    my $self = bless {
        host => $host, app => undef, site => $site, request => undef, response => undef,
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
    } elsif (!defined $got && $! == Linux::ECONNREFUSED) {
        $self->refused;
    } else {
        $side eq 'host' ? $self->part : $self->app_left;
    }
}

# --- requests ---

sub from_host {
    my ($self, $bytes) = @_;
    while (length $bytes && $self->{host} && !$self->{last}) {
        if (!$self->{request}) {
            return $self->part if $self->{site}{closing};
            $self->begin or return;
        }
        if ($self->{request}{ended}) {    # the next request, though this one is not answered yet
            $self->{held} .= $bytes;
            return;
        }
        my $used = Framing::take($self->{request}, $bytes);
        $self->{to_app} .= substr $bytes, 0, $used if $self->{app} && !$self->{deaf};
        substr($bytes, 0, $used) = '';
        $self->flush('app') if length $self->{to_app};
        $self->next_request if $self->{request} && !$self->{app} && $self->{request}{ended};
    }
}

sub begin {
    my ($self) = @_;
    $self->{request} = Framing::message();
    $self->{response} = Framing::message(answers => $self->{request});
    $self->{families} = [@{ $self->{site}{families} }];
    @$self{qw(sent deaf)} = (0, 0);
    return $self->dial;
}

sub dial {
    my ($self) = @_;
    my $family = shift @{ $self->{families} };
    my $domain = $family == 4 ? AF_INET : AF_INET6;
    socket(my $app, $domain, SOCK_STREAM | Linux::NONBLOCK | Linux::CLOEXEC, 0) or return $self->answer("no socket: $!");
    setsockopt $app, IPPROTO_TCP, TCP_NODELAY, 1;
    if (!connect($app, $ADDRESS{$family}->($self->{site}{port})) && $! != Linux::EINPROGRESS) {
        return @{ $self->{families} } ? $self->dial : $self->answer("port $self->{site}{port}: $!");
    }
    $self->{app} = $app;
    $self->{asked}{app} = Linux::IN;
    Linux::watch($app, Linux::IN, sub { $self->ready('app', $_[0]) });
    return 1;
}

# Nothing of the request was taken: the next address where there is one, else an answer in the app's place.
sub refused {
    my ($self) = @_;
    return $self->app_left if $self->{sent};
    $self->hang_up;
    if (@{ $self->{families} }) {
        $self->dial and $self->flush('app');
        return;
    }
    $self->answer("nothing listens on port $self->{site}{port} any more");
}

sub answer {
    my ($self, $why) = @_;
    my $body = '{"error":{"type":"NotListening","message":' . Json::quoted($why) . '}}';
    $self->{to_app} = '';
    $self->{to_host} .= sprintf "HTTP/1.1 502 Bad Gateway\r\nX-Fnctl-Error: bad_response\r\n"
        . "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", length $body, $body;
    $self->over;
    return 0;
}

# --- responses ---

sub from_app {
    my ($self, $bytes) = @_;
    my $used = Framing::take($self->{response}, $bytes);
    $self->{to_host} .= $used == length $bytes ? $bytes : substr $bytes, 0, $used;
    return $self->over if $self->{response}{ended};
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

# The app has ended its connection: that is the end of some responses, and before their end of others. Both ways the
# host can only be told by the end of its own.
sub app_left {
    my ($self) = @_;
    $self->{last} = 1;
    $self->over;
}

# The response is complete. What is left of the request, nobody reads.
sub over {
    my ($self) = @_;
    $self->hang_up;
    @$self{qw(to_app answered)} = ('', 1);
    $self->flush('host') or return;
    $self->next_request if $self->{request} && $self->{request}{ended};
}

sub next_request {
    my ($self) = @_;
    my $held = $self->{held};
    @$self{qw(request response held)} = (undef, undef, '');
    $self->from_host($held) if length $held;
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
    for my $each (qw(host app)) { $self->ask($each) if $self->{$each} }
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
    return $self->refused, 1 if $! == Linux::ECONNREFUSED;
    @$self{qw(to_app deaf)} = ('', 1);    # it reads no more, but may have answered: that is found by reading
    return 1;
}

sub ask {
    my ($self, $side) = @_;
    my $mask = length $self->{ $side eq 'host' ? 'to_app' : 'to_host' } ? 0 : Linux::IN;
    $mask |= Linux::OUT if length $self->{"to_$side"};
    return if $self->{asked}{$side} == $mask;
    $self->{asked}{$side} = $mask;
    Linux::change($self->{$side}, $mask);
}

# --- ends ---

sub hang_up {
    my ($self) = @_;
    return unless $self->{app};
    Linux::forget($self->{app});
    close $self->{app};
    $self->{app} = undef;
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
