"""MediaPipe's attention face mesh: its graph cut at the custom operators, which run here."""
