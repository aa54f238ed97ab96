"""What the page is made of: its files (`app/`), and the patterns of placeholders as browsers read them."""
