package dev.lockstep.device.cuda.ffi;

/// NVIDIA's collectives, `libnccl.so.2`: one method per function, each with the function's
/// arguments and its `ncclResult_t`. Device pointers, handles and addresses are longs. A
/// communicator is one thread's at a time, but for [#commGetAsyncError] and [#commAbort].
public interface Nccl {
  /// `ncclGetVersion`: 23007 for 2.30.7.
  int getVersion(long version);

  /// `ncclGetUniqueId`.
  ///
  /// @param id address of [NcclConfig#ID_BYTES] bytes
  int getUniqueId(long id);

  /// `ncclCommInitRankConfig`.
  ///
  /// @param communicator address of the handle that it makes
  /// @param id address of the unique id, which is passed by value
  /// @param config address of an `ncclConfig_t`
  int commInitRankConfig(long communicator, int ranks, long id, int rank, long config);

  /// `ncclCommGetAsyncError`.
  ///
  /// @param state address of the `ncclResult_t` that it reports
  int commGetAsyncError(long communicator, long state);

  /// `ncclCommFinalize`.
  int commFinalize(long communicator);

  /// `ncclCommDestroy`.
  int commDestroy(long communicator);

  /// `ncclCommAbort`.
  int commAbort(long communicator);

  /// `ncclGroupStart`.
  int groupStart();

  /// `ncclGroupEnd`.
  int groupEnd();

  /// `ncclSend`.
  int send(long from, long count, int type, int peer, long communicator, long stream);

  /// `ncclRecv`.
  int recv(long to, long count, int type, int peer, long communicator, long stream);

  /// `ncclAllReduce`.
  int allReduce(long from, long to, long count, int type, int op, long communicator, long stream);

  /// `ncclReduceScatter`.
  int reduceScatter(
      long from, long to, long count, int type, int op, long communicator, long stream);

  /// `ncclAllGather`.
  int allGather(long from, long to, long count, int type, long communicator, long stream);

  /// `ncclBroadcast`.
  int broadcast(long from, long to, long count, int type, int root, long communicator, long stream);

  /// `ncclGetErrorString`: what a status means.
  String errorString(int status);

  /// `ncclGetLastError`: what the library last logged of a failure; may be empty.
  String lastError(long communicator);
}
