//! A table of `DynamoDB`, for the shared journal: the port `Slots`.
//!
//! | file | contents |
//! |---|---|
//! | `dynamodb/slots.rs` | the port |
//! | `dynamodb/items.rs` | items of the port to those of the SDK and back |
//! | `dynamodb/failures.rs` | failed calls in words, with the permission that is missing |
//! | `dynamodb/fitness.rs` | whether a table can hold a journal |
//! | `dynamodb/create.rs` | makes a table |

mod create;
mod failures;
mod fitness;
mod items;
mod slots;

pub use create::CreatedTable;
pub use fitness::TableFacts;
pub use slots::DynamoSlots;
pub use slots::TableAddress;
