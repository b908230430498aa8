package dev.lockstep.failure;

import org.jspecify.annotations.Nullable;

/// An allocation would pass the job's memory budget; nothing was allocated. Retry after freeing
/// memory or with a larger budget.
public final class MemoryBudgetException extends LockstepException {
  private static final long serialVersionUID = 1L;

  private final String tensor;
  private final long requestedBytes;
  private final long budgetBytes;

  /// Makes the failure; the arguments come back from the accessors.
  public MemoryBudgetException(
      String tensor,
      long requestedBytes,
      long budgetBytes,
      String message,
      @Nullable Throwable cause) {
    super(message, cause);
    this.tensor = tensor;
    this.requestedBytes = requestedBytes;
    this.budgetBytes = budgetBytes;
  }

  /// Returns the tensor that was to be allocated.
  public String tensor() {
    return tensor;
  }

  /// Returns bytes asked for.
  public long requestedBytes() {
    return requestedBytes;
  }

  /// Returns bytes that the budget allows in all.
  public long budgetBytes() {
    return budgetBytes;
  }
}
