"""Word lists for the task families: plain facts and common words, written for this package."""
