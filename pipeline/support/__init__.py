"""What every command needs and none of it about translation: errors, console, files, run folders."""
