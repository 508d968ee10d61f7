"""An AWS on the laptop: MiniStack in process, completed where this project needs more of it."""
