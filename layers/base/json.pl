# JSON, as much as the host speaks to programs in Perl: objects and arrays of strings, numbers and words; and strings for
# what they say. Numbers and words stay the text that they are.

package Json;

use strict;
use warnings;

# A string as JSON. What is not ASCII goes byte by byte.
sub quoted {
    my ($text) = @_;
    $text =~ s/([\x00-\x1f"\\\x7f-\xff])/sprintf '\\u%04x', ord $1/ge;
    return qq("$text");
}

# The object of a line; nothing where it holds none.
sub decode {
    my ($line) = @_;
    my $value = eval { value(\$line) };
    return ref $value eq 'HASH' && $line =~ /\G\s*\z/gc ? $value : undef;
}

sub value {
    my ($text) = @_;
    return object($text) if $$text =~ /\G\s*\{\s*/gc;
    return array($text) if $$text =~ /\G\s*\[\s*/gc;
    return string($text) if $$text =~ /\G\s*"/gc;
    return $1 if $$text =~ /\G\s*(-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?|true|false|null)\b/gc;
    die('a line that is not JSON');
}

sub object {
    my ($text) = @_;
    my %object;
    return \%object if $$text =~ /\G\}/gc;
    while ($$text =~ /\G\s*"/gc) {
        my $key = string($text);
        $$text =~ /\G\s*:/gc or last;
        $object{$key} = value($text);
        return \%object if $$text =~ /\G\s*\}/gc;
        $$text =~ /\G\s*,/gc or last;
    }
    die('an object that does not end');
}

sub array {
    my ($text) = @_;
    my @array;
    return \@array if $$text =~ /\G\]/gc;
    while (1) {
        push @array, value($text);
        return \@array if $$text =~ /\G\s*\]/gc;
        $$text =~ /\G\s*,/gc or last;
    }
    die('an array that does not end');
}

# The bytes of a string whose opening quote was read.
sub string {
    my ($text) = @_;
    my %short = (b => "\b", f => "\f", n => "\n", r => "\r", t => "\t", '"' => '"', '\\' => '\\', '/' => '/');
    my $bytes = '';
    while ($$text !~ /\G"/gc) {
        if ($$text =~ /\G([^"\\\x00-\x1f]+)/gc) { $bytes .= $1 }
        elsif ($$text =~ /\G\\(["\\\/bfnrt])/gc) { $bytes .= $short{$1} }
        elsif ($$text =~ /\G\\u([0-9a-fA-F]{4})/gc) { $bytes .= utf8_bytes(hex $1, $text) }
        else { die('a string that does not end') }
    }
    return $bytes;
}

sub utf8_bytes {
    my ($unit, $text) = @_;
    if ($unit >= 0xD800 && $unit < 0xDC00 && $$text =~ /\G\\u([dD][c-fC-F][0-9a-fA-F]{2})/gc) {
        $unit = 0x10000 + (($unit - 0xD800) << 10) + (hex($1) - 0xDC00);
    }
    $unit = 0xFFFD if $unit >= 0xD800 && $unit < 0xE000;
    my $character = chr $unit;
    utf8::encode($character);
    return $character;
}

1;
