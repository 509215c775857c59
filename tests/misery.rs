//! The built program in a miserable world: nobody reads, the disk is full, the terminal is gone, signals come, files hang.

mod alarms;
mod commands;
mod matrix;
mod world;
