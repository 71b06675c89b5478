"""Chat bots: the bot, its jobs and messages, and one module per platform."""
