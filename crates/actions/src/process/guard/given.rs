//! The descriptors that came with a task, by what they are for.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::process::protocol::Descriptor;

#[derive(Debug, Default)]
pub(crate) struct Given {
    result: Option<OwnedFd>,
    tasks: Option<OwnedFd>,
    pub(crate) control: Option<OwnedFd>,
    pub(super) lock: Option<OwnedFd>,
}

impl Given {
    pub(super) fn pair(names: &[Descriptor], descriptors: Vec<OwnedFd>) -> Result<Self, String> {
        if names.len() != descriptors.len() {
            return Err(format!(
                "{} descriptors came for {} names",
                descriptors.len(),
                names.len()
            ));
        }
        let mut given = Self::default();
        for (name, descriptor) in names.iter().zip(descriptors) {
            let place = match name {
                Descriptor::Result => &mut given.result,
                Descriptor::Tasks => &mut given.tasks,
                Descriptor::Control => &mut given.control,
                Descriptor::Lock => &mut given.lock,
            };
            *place = Some(descriptor);
        }
        Ok(given)
    }

    /// Those that the program finds by their numbers.
    pub(crate) fn of_program(&self) -> impl Iterator<Item = (Descriptor, BorrowedFd<'_>)> {
        let Self {
            result,
            tasks,
            control: _,
            lock: _,
        } = self;
        [(Descriptor::Result, result), (Descriptor::Tasks, tasks)]
            .into_iter()
            .filter_map(|(name, descriptor)| Some((name, descriptor.as_ref()?.as_fd())))
    }
}
