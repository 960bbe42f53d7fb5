"""Power quality: intervals, events, flicker, and what is published of them."""
