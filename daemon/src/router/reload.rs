//! The configuration changes while packets flow: only the difference is applied.

use weft_control::lisp::Stored;
use weft_manage::api::Failure;
use weft_manage::config::{Config, load};

use super::Router;
use super::lifecycle::{override_paths, stored};
use crate::data_plane::DataPlane;
use crate::host::plan::device_name;

impl Router {
    /// SIGHUP: reload, and say in the log how it went.
    pub(super) async fn hangup(&mut self) {
        if let Err(failure) = self.reload().await {
            tracing::error!("configuration is not reloaded\n{failure}");
        }
    }

    /// Reads the file again and applies what differs. An invalid file changes nothing. Returns
    /// the changes, a line each.
    pub(super) async fn reload(&mut self) -> Result<Vec<String>, Failure> {
        let new = self.load(None)?;
        let changes = weft_manage::config::diff(&self.config, &new, &self.names);
        if let Some(change) = changes.iter().find(|change| change.needs_restart) {
            return Err(Failure {
                error: format!("{} cannot change while the router runs", change.path),
                help: Some("restart it to apply the new configuration".into()),
                exit: 1,
            });
        }
        let stored = if self.engine.needs_stored(&new.lisp) {
            stored(&self.store, &self.clock).map_err(|error| Failure {
                error: error.to_string(),
                help: None,
                exit: 1,
            })?
        } else {
            Stored::default()
        };
        self.change_instances(&new)?;
        let now = self.clock.now();
        self.config = new;
        self.read_traffic(now);
        self.engine.reconfigure(now, self.config.lisp.clone(), &stored, &mut self.actions);
        self.carry_out();
        self.links_changed().await;
        self.check_sysctls();
        if changes.is_empty() {
            tracing::info!("configuration is unchanged");
        } else {
            tracing::info!(changes = changes.len(), "configuration reloaded");
        }
        Ok(changes.iter().map(ToString::to_string).collect())
    }

    /// Reads a configuration as this router would run it.
    pub(super) fn load(&mut self, file: Option<&std::path::Path>) -> Result<Config, Failure> {
        let file = file.unwrap_or(&self.options.config);
        let mut config = load(file, &mut self.names).map_err(|report| Failure {
            error: report.to_string(),
            help: None,
            exit: 3,
        })?;
        override_paths(&mut config, &self.options);
        Ok(config)
    }

    fn change_instances(&mut self, new: &Config) -> Result<(), Failure> {
        let Some(plane) = self.plane.as_ref().map(DataPlane::tun) else { return Ok(()) };
        let device = &new.data_plane.device;
        let has = |config: &Config, id| config.instances.iter().any(|i| i.id == id);
        let added: Vec<_> = new.instances.iter().filter(|i| !has(&self.config, i.id)).collect();
        for (number, instance) in added.iter().enumerate() {
            let Err(error) = plane.add_instance(instance.id, &device_name(device, instance.id))
            else {
                continue;
            };
            // All or nothing.
            for earlier in added.iter().take(number) {
                plane.remove_instance(earlier.id);
            }
            let error = format!("instance {}: {error}", instance.name);
            return Err(Failure { error, help: None, exit: 1 });
        }
        for gone in self.config.instances.iter().filter(|i| !has(new, i.id)) {
            plane.remove_instance(gone.id);
        }
        Ok(())
    }
}
