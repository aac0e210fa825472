//! What every environment yields: endpoints to send to and to read from.
