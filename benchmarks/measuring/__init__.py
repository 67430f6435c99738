"""What every benchmark needs: where it ran, how much memory it took, the files and tables it leaves."""
