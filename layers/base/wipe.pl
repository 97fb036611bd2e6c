# Emptying the folders that a function can write to. Nobody else may run by then, so that names cannot change under us.

package Wipe;

use strict;
use warnings;

# Empties a folder without following links and without recursion: folders inside folders are moved up to the top
# first, so that neither depth nor the length of a path is bounded. Names are bytes, whatever they hold. `$spared`: paths
# of its own entries that stay.
sub folder {
    my ($top, %spared) = @_;
    my $serial = 0;
    my $progress = 1;
    while ($progress) {
        $progress = 0;
        for my $path (grep { !$spared{$_} } map { "$top/$_" } entries($top)) {
            if (-l $path || !-d _) { $progress = 1 if unlink $path; next }
            chmod 0700, $path;
            for my $inner (map { "$path/$_" } entries($path)) {
                if (-l $inner || !-d _) { unlink $inner; next }
                chmod 0700, $inner;    # moving a folder rewrites its `..`
                1 while -e "$top/.wipe-" . ++$serial;
                rename $inner, "$top/.wipe-$serial";
            }
            $progress = 1 if rmdir $path;
        }
    }
}

sub entries {
    my ($folder) = @_;
    opendir(my $handle, $folder) or return ();
    return grep { $_ ne '.' && $_ ne '..' } readdir $handle;
}

1;
