"""The models that come with the library, by what they show."""
