"""What is learned from: scenes, where they come from, and clips cut from them."""
