"""Pages for people. Server-rendered; nothing is fetched from elsewhere."""
