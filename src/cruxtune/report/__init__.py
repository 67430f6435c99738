"""What a run found: tables, figures, one offline page."""
