//! Makes the tables of a ledger.

use crate::connection::{DatabaseError, DatabaseLink, DatabaseTrouble};
use crate::keeper::run;
use crate::place::{DatabaseUrl, Purpose};
use crate::schema;

/// Makes the tables, the role of servers, and its rights. The user of the URL must be allowed to;
/// it owns the tables then, and should not be the servers'. Nothing is made if anything fails.
pub fn init(place: &DatabaseUrl, role: &str, id: &[u8; 16]) -> Result<(), DatabaseError> {
    let made = run(async {
        let link = DatabaseLink::open(place, Purpose::Write).await?;
        let definition = schema::definition(role, id);
        link.client.batch_execute(&definition).await.map_err(|error| {
            let DatabaseTrouble(why) = DatabaseTrouble::from(error);
            DatabaseError::Unfit {
                what: format!("the tables cannot be made: {why}"),
                next: "a URL with a user who may make tables and roles, and an empty schema".into(),
            }
        })
    });
    made.map_err(|error| DatabaseError::Unreachable(error.to_string()))?
}
