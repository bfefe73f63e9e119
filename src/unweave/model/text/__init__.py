"""Text in and out of a model: tokenizers, padding, chats and prompts."""
