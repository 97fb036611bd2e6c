# The function's command as a process: how it is started and stopped, where it listens, and what its end is called.

package Program;

use strict;
use warnings;

use constant { ENOENT => 2, EACCES => 13, LISTEN => '0A' };

# What belongs to the agent, and no command sees.
my @OURS = qw(FNCTL_BOOT FNCTL_PRELOAD FNCTL_ROOT FNCTL_WIPE FNCTL_SUPERVISED FNCTL_LOAD);

# `$PORT` and `${PORT}` in a word stand for the port; a shell that would fill in more is a command like any other.
sub words {
    my ($command, $port) = @_;
    return map { s/\$(?:PORT\b|\{PORT\})/$port/gr } @$command;
}

# Starts the command in the present folder, with the present output and `$environment` over the present one. Returns
# (its pid, undef), or (undef, why it cannot be started as [type, message]). The pipe tells a failed exec from one that
# went well: it closes without a word.
sub start {
    my ($words, $environment) = @_;
    pipe(my $told, my $teller) or die "pipe: $!\n";
    my $pid = fork() // die "fork: $!\n";
    become($words, $environment, $teller) if $pid == 0;
    close $teller;
    my $number = readline $told;
    return ($pid, undef) unless defined $number;
    waitpid $pid, 0;
    return (undef, reason($words->[0], $number, $environment));
}

sub become {
    my ($words, $environment, $teller) = @_;
    Linux::new_session();    # so that a signal reaches what it starts, too
    Linux::mask(0);
    $SIG{$_} = 'DEFAULT' for qw(PIPE TERM INT HUP);
    open STDIN, '<', '/dev/null';
    @ENV{ keys %$environment } = values %$environment;
    delete @ENV{@OURS};
    no warnings 'exec';
    exec { $words->[0] } @$words;
    syswrite $teller, $! + 0;
    kill KILL => $$;
}

sub reason {
    my ($word, $number, $environment) = @_;
    local $! = $number;
    return ['CommandNotExecutable', "$word may not be run: it needs the executable bit (chmod +x $word)"]
        if $number == EACCES;
    return ['CommandFailed', "$word cannot be started: $!"] if $number != ENOENT;
    return ['CommandNotFound', missing_file($word)] if $word =~ m{/};
    my $path = $environment->{PATH} // $ENV{PATH} // '';
    my $near = -e $word ? "; there is a file $word in the code folder: write ./$word" : '';
    return ['CommandNotFound', "no program $word on the PATH ($path)$near"];
}

sub missing_file {
    my ($word) = @_;
    return "there is no $word in the code folder" unless -e $word;
    open my $file, '<', $word;
    my $first = readline($file) // '';
    my ($interpreter) = $first =~ /\A#!\s*(\S+)/;
    return defined $interpreter ? "the interpreter of $word, $interpreter, is not there"
        : "$word needs a loader or a library that is not there: link it statically";
}

# As people say it.
sub ending {
    my ($status) = @_;
    return $status & 127 ? 'was ended by signal ' . ($status & 127) : 'ended with exit code ' . ($status >> 8);
}

# Who listens on TCP in this network namespace: { families => [4, 6: those on which 127.0.0.1 or ::1 leads to `$port`],
# elsewhere => [the other ports, sorted], address => where `$port` itself is listened on if not on loopback }.
sub listeners {
    my ($port) = @_;
    my (%families, %elsewhere, $address);
    for my $found (map { listening($_) } qw(/proc/net/tcp /proc/net/tcp6)) {
        my ($host, $its_port) = @$found;
        if ($its_port != $port) { $elsewhere{$its_port} = 1 }
        elsif ($host eq '0' x 8 || $host eq '0100007F' || $host =~ /\A0{16}FFFF0000(?:0{8}|0100007F)\z/) { $families{4} = 1 }
        elsif ($host eq '0' x 32) { @families{ 4, 6 } = (1, 1) }    # unless it is for IPv6 only; 4 is tried first
        elsif ($host eq '0' x 24 . '01000000') { $families{6} = 1 }
        else { $address = $host }
    }
    return { families => [sort keys %families], elsewhere => [sort { $a <=> $b } keys %elsewhere], address => $address };
}

# Rows of proc(5)'s net/tcp, as [address in hex as the kernel writes it, port]. Of the sandbox's own user alone: the host
# listens here, too.
sub listening {
    my ($path) = @_;
    open(my $table, '<', $path) or return ();
    my $row = qr/^\s*\d+: ([0-9A-F]+):([0-9A-F]{4}) \S+ (\S\S) \S+ \S+ \S+ +(\d+) /;
    return map { $_ =~ $row && $3 eq LISTEN && $4 == $> ? [$1, hex $2] : () } readline $table;
}

1;
