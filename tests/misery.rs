//! The built program in a miserable world: nobody reads, the disk is full, the terminal is gone, signals come, files hang.

mod alarms;
mod beside;
mod commands;
mod endless;
mod files;
mod matrix;
mod signals;
mod states;
mod terminals;
mod world;
