#!/usr/bin/perl
# The agent of a command: starts any program that listens on $PORT, and relays the host's connections to it. Plain Perl
# without modules, as the supervisor beside it: booted and waiting it takes 4 MB. The protocol is ../PROTOCOL.md.

use strict;
use warnings;

BEGIN {
    my $here = $0 =~ s{[^/]*\z}{}r;
    require "$here../json.pl";
    require "$here$_.pl" for qw(linux framing relay program standalone);
}

use constant {
    AF_UNIX => 1, SOCK_STREAM => 1, PROTOCOL => 1, MAX_LINE => 1 << 20,
    LOOK_MS => 10,         # how often we look, at the least, for what nobody tells: that it listens, that a request starves
    TELL_MS => 500,        # how often, at most, the host is told what is waited for
    LAST_WORDS_MS => 500,  # for what a command has written as it ended, and for one to end that was asked to
};

$SIG{PIPE} = 'IGNORE';
if (grep { $_ eq '--serve' } @ARGV) { Standalone::serve() }
else { Agent->new($ENV{FNCTL_ROOT} // '/fn')->run }

package Agent;

sub new {
    my ($class, $root) = @_;
    socket(my $control, main::AF_UNIX, main::SOCK_STREAM, 0) or exit 1;
    connect($control, pack 'S Z*', main::AF_UNIX, "$root/agent.sock") or exit 1;
    my $self = bless {
        root => $root, control => $control, buffer => '', load => undef, pid => undef, status => undef, loaded => 0,
        port => 0, families => [], single => 0, closing => 0, relays => {},
        idle => [], waiting => {}, until => undef, said => '', said_at => 0,
    }, $class;
    my $boot = $ENV{FNCTL_BOOT} // '';
    $self->say(qq({"op":"hello","protocol":@{[main::PROTOCOL]},"role":"agent","runtime":"command","pid":$$,"boot":"$boot"}));
    my $ends = Linux::child_ends();
    Linux::watch($ends, Linux::IN, sub { sysread $ends, my $info, 4096; $self->child_ended });
    Linux::watch($control, Linux::IN, sub { $self->hear });
    return $self;
}

sub run {
    my ($self) = @_;
    while (1) {
        Linux::turn($self->patience_ms);
        Relay::relieve($self);
        $self->look if $self->{pid} && !$self->{loaded};
        $self->leave if defined $self->{until} && (Linux::now_ms() >= $self->{until} || $self->quiet);
    }
}

# Nobody tells when a program begins to listen: that is looked for, the more seldom the longer it takes.
sub patience_ms {
    my ($self) = @_;
    return 5 if defined $self->{until};
    return @{ $self->{idle} } && %{ $self->{waiting} } ? main::LOOK_MS : -1 if !$self->{pid} || $self->{loaded};
    my $waited = Linux::now_ms() - $self->{started};
    my $seldom = 1 + int($waited / 100);
    return $seldom < main::LOOK_MS ? $seldom : main::LOOK_MS;
}

# --- the host ---

sub hear {
    my ($self) = @_;
    my $got = sysread($self->{control}, $self->{buffer}, 65536, length $self->{buffer});
    return if !defined $got && $! == Linux::EINTR;
    exit 0 unless $got;
    while ($self->{buffer} =~ s/\A([^\n]*)\n//) {
        my $message = Json::decode($1) // exit 1;
        my $op = $message->{op} // '';
        if ($op eq 'load') { $self->load($message) }
        elsif ($op eq 'dial') { $self->dial($message->{n}) }
        elsif ($op eq 'stop') { $self->let_go }
    }
}

sub say {
    my ($self, $line) = @_;
    $line .= "\n";
    while (length $line) {
        my $wrote = syswrite $self->{control}, $line;
        next if !defined $wrote && $! == Linux::EINTR;
        exit 0 unless defined $wrote;
        substr($line, 0, $wrote) = '';
    }
}

sub dial {
    my ($self, $count) = @_;
    for (1 .. $count) {
        my $relay = Relay->new("$self->{root}/data.sock", $self) or exit 0;
        $self->{relays}{$relay} = $relay;
    }
}

# --- loading ---

sub load {
    my ($self, $load) = @_;
    $self->{started} = $self->{said_at} = Linux::now_ms();
    @$self{qw(load port single)} = ($load, $load->{port}, $load->{model} eq 'ephemeral');
    chdir $load->{root};
    $self->{words} = [Program::words($load->{command}, $self->{port})];
    my ($pid, $why) = Program::start($self->{words}, { %{ $load->{env} }, PORT => $self->{port} });
    return $self->fail(@$why) unless defined $pid;
    $self->{pid} = $pid;
}

sub look {
    my ($self) = @_;
    my $found = Program::listeners($self->{port});
    return $self->tell_waiting($found) unless @{ $found->{families} };
    @$self{qw(families loaded)} = ($found->{families}, 1);
    $self->say(sprintf '{"op":"loaded","ms":%.1f,"kind":"web","fork":false}', Linux::now_ms() - $self->{started});
    $self->dial(1);
}

# What is waited for, for the host to say should time run out.
sub tell_waiting {
    my ($self, $found) = @_;
    my $now = Linux::now_ms();
    return if $now - $self->{said_at} < main::TELL_MS;
    my $text = "`@{ $self->{words} }` to listen on port $self->{port} (\$PORT)";
    $text .= '; it listens on port ' . join(' and ', @{ $found->{elsewhere} }) if @{ $found->{elsewhere} };
    $text .= '; it listens there, but not on the loopback address' if defined $found->{address};
    return if $text eq $self->{said};
    @$self{qw(said said_at)} = ($text, $now);
    $self->say('{"op":"waiting","for":' . Json::quoted($text) . '}');
}

sub fail {
    my ($self, $type, $message) = @_;
    $self->say(sprintf '{"op":"load_failed","type":%s,"message":%s}', map { Json::quoted($_) } $type, $message);
    exit 1;
}

# --- serving (told by relays) ---

sub relayed {
    my ($self) = @_;
    $self->stop if $self->{single};
}

# `$by_app`: the command ended it. In the ephemeral model that is an end without an answer, whose reason is about to show.
sub parted {
    my ($self, $relay, $by_app) = @_;
    delete $self->{relays}{$relay};
    return unless $self->{single};
    $by_app ? $self->{until} //= Linux::now_ms() + main::LAST_WORDS_MS : $self->stop;
}

# --- the end ---

# (ephemeral) The one request was answered: let the command end in order, for a moment.
sub stop {
    my ($self) = @_;
    return if $self->{closing};
    $self->{closing} = 1;
    $_->part for values %{ $self->{relays} };
    $self->{stopped} = 1;
    kill TERM => -$self->{pid};
    $self->{until} = Linux::now_ms() + main::LAST_WORDS_MS;
}

# (resident) The host needs the command no more, and says how long it may take to end by ending this agent.
sub let_go {
    my ($self) = @_;
    return if $self->{closing};
    @$self{qw(closing stopped)} = (1, 1);
    kill TERM => -$self->{pid} if defined $self->{pid};
}

# The command's own process has ended, by itself or after `stop`. What it has written to a connection still goes out.
sub child_ended {
    my ($self) = @_;
    return unless defined $self->{pid} && waitpid($self->{pid}, 1) == $self->{pid};    # 1: WNOHANG
    $self->{status} = $?;
    $self->fail('Exit', "`@{ $self->{words} }` " . Program::ending($?) . " before it listened on port $self->{port} (\$PORT)")
        unless $self->{loaded};
    $self->leave if $self->{closing};
    @$self{qw(closing until)} = (1, Linux::now_ms() + main::LAST_WORDS_MS);
}

sub quiet {
    my ($self) = @_;
    return defined $self->{status} && !grep { $_->busy } values %{ $self->{relays} };
}

# With the command's own end, so that the supervisor tells it as it was; a command that was told to end, ended well.
sub leave {
    my ($self) = @_;
    my $status = $self->{status};
    exit 0 if !defined $status || $self->{stopped};
    kill $status & 127, $$ if $status & 127;
    exit $status >> 8;
}
