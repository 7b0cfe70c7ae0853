//! Ways through the house: real routers on port 0, a manual clock, never the net.

mod landing;
mod pull;
