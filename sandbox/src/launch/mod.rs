//! Builds the walls and starts the command.
