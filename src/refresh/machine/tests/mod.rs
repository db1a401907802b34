//! The machine under injected time: a world in which years pass in a moment.

mod change;
mod life;
mod people;
mod personal;
mod property;
mod rejections;
mod several;
mod stopped;
mod world;
