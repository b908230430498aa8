package dev.lockstep.train;

/// What the steps change.
///
/// @param parameters the model's parameters
/// @param moments the optimizer's moments
record TrainedState(ModelState parameters, ModelState moments) {}
