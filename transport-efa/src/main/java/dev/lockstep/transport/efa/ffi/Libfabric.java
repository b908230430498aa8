package dev.lockstep.transport.efa.ffi;

import java.lang.foreign.MemorySegment;

/// libfabric's functions, one Java method per C function, each with the C function's arguments and
/// status. Addresses are longs, so that no call allocates; what they point to must stay alive while
/// the library may use it. Statuses are 0 or more, or the negative of an error number.
///
/// Functions of an object are looked up in the object itself at every call, save those of the data
/// path: [#calls], [#queue] and [#events] look them up once. Not thread-safe for one object, as
/// libfabric is under `FI_THREAD_DOMAIN`.
public interface Libfabric {
  /// `fi_version`: the version of the library, major in the upper 16 bits.
  int version();

  /// `fi_strerror`.
  ///
  /// @param error positive error number
  String strerror(int error);

  /// `fi_getinfo`.
  ///
  /// @param info where the address of the first result goes
  int getinfo(
      int version,
      MemorySegment node,
      MemorySegment service,
      long flags,
      MemorySegment hints,
      MemorySegment info);

  /// `fi_freeinfo`.
  void freeinfo(long info);

  /// `fi_fabric`.
  int fabric(long attributes, MemorySegment fabric);

  /// `fi_domain`.
  int domain(long fabric, long info, MemorySegment domain);

  /// `fi_av_open`.
  int avOpen(long domain, MemorySegment attributes, MemorySegment av);

  /// `fi_cq_open`.
  int cqOpen(long domain, MemorySegment attributes, MemorySegment cq);

  /// `fi_eq_open`.
  int eqOpen(long fabric, MemorySegment attributes, MemorySegment eq);

  /// `fi_endpoint`.
  int endpoint(long domain, long info, MemorySegment endpoint);

  /// `fi_ep_bind` and `fi_mr_bind`.
  int bind(long object, long other, long flags);

  /// `fi_enable` and `fi_mr_enable`.
  int enable(long object);

  /// `fi_setopt` with a value of 8 bytes.
  int setopt(long endpoint, int level, int name, MemorySegment value);

  /// `fi_getopt`.
  ///
  /// @param bytes room on entry, length on return; 8 bytes
  int getopt(long endpoint, int level, int name, MemorySegment value, MemorySegment bytes);

  /// `fi_getname`.
  ///
  /// @param bytes room on entry, length on return; 8 bytes
  int getname(long endpoint, MemorySegment name, MemorySegment bytes);

  /// `fi_close`.
  int close(long object);

  /// `fi_av_insert` of one address.
  ///
  /// @param address where the number of the peer goes, 8 bytes
  /// @return how many were inserted
  int avInsert(long av, MemorySegment name, MemorySegment address);

  /// `fi_mr_reg`.
  int mrReg(long domain, long buffer, long bytes, long access, long key, MemorySegment mr);

  /// `fi_mr_regattr`.
  int mrRegattr(long domain, MemorySegment attributes, long flags, MemorySegment mr);

  /// `fi_mr_desc`.
  long mrDescriptor(long mr);

  /// `fi_mr_key`.
  long mrKey(long mr);

  /// Looks the functions of an endpoint up; only after [#enable], which may exchange them.
  EndpointCalls calls(long endpoint);

  /// Looks the functions of a completion queue up.
  QueueCalls queue(long cq);

  /// Looks the function of an event queue up.
  EventCalls events(long eq);

  /// `fi_recv` from anybody.
  long recv(EndpointCalls endpoint, long buffer, long bytes, long descriptor, long context);

  /// `fi_send`.
  long send(
      EndpointCalls endpoint,
      long buffer,
      long bytes,
      long descriptor,
      long destination,
      long context);

  /// `fi_inject`.
  long inject(EndpointCalls endpoint, long buffer, long bytes, long destination);

  /// `fi_injectdata`.
  long injectdata(EndpointCalls endpoint, long buffer, long bytes, long data, long destination);

  /// `fi_writedata`.
  long writedata(
      EndpointCalls endpoint,
      long buffer,
      long bytes,
      long descriptor,
      long data,
      long destination,
      long address,
      long key,
      long context);

  /// `fi_cq_read`.
  long cqRead(QueueCalls queue, long entries, long count);

  /// `fi_cq_readerr`.
  long cqReaderr(QueueCalls queue, MemorySegment entry);

  /// `fi_eq_readerr`.
  long eqReaderr(EventCalls queue, MemorySegment entry);

  /// `fi_cq_strerror`: the provider's own words.
  String cqStrerror(QueueCalls queue, int providerError, long errorData);

  /// Returns memory of the library's as a segment.
  MemorySegment memory(long address, long bytes);

  /// Returns a string of the library's, empty for null.
  String string(long address);
}
