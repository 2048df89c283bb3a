-------------------------------- MODULE Reach --------------------------------
(***************************************************************************)
(* Situations that must be possible, each as the claim that it never comes *)
(* about. TLC has to REFUTE every one of these: a specification in which   *)
(* nothing happens keeps all promises.                                     *)
(***************************************************************************)
EXTENDS CacheEntryInv

\* There is an effect of some kind in the last step for which something holds.
Some(kind, Holds(_)) == \E o \in Of(effects, kind) : Holds(o)

\* A lookup that joins the flight which another one started.
NeverAJoin == ~Some("Join", LAMBDA j : ~j.leads)

\* Two callers who wait for one flight.
NeverAHerd == \A c, d \in Clients : clients[c] # Idle /\ clients[c].waits_for = clients[d].waits_for => c = d

\* A lookup refused because enough callers wait.
NeverARefusal == Of(effects, "Refuse") = {}

\* A hit past the early point, with a refresh behind it.
NeverAnEarlyRefresh == ~(Some("Answer", LAMBDA a : ~a.outcome.is_stale) /\ Of(effects, "StartLoad") # {})

\* A stale hit, with a refresh behind it.
NeverAStaleHit == ~(Some("Answer", LAMBDA a : a.outcome.is_stale) /\ Of(effects, "StartLoad") # {})

\* A stale hit while a failed refresh backs off.
NeverAHitDuringBackOff ==
  ~(Some("Answer", LAMBDA a : a.outcome.is_stale) /\ ~HasFlight(entry) /\ entry.retry_at > 0)

\* A waiter that gets the value kept, because the load failed.
NeverTheKeptValue == ~Some("Settle", LAMBDA s : s.outcome.is_stale /\ s.outcome.age < Cap /\ HasOutcome(entry))

\* A lookup answered with an error that was remembered.
NeverARememberedError == ~Some("Answer", LAMBDA a : IsError(a.outcome.value))

\* A lookup that finds a flight past its deadline, gives it up and starts its own.
NeverAGivenUpFlight == ~(Of(effects, "CancelLoad") # {} /\ Some("Join", LAMBDA j : j.leads))

\* A timer that goes off too early.
NeverARearm == Of(effects, "Rearm") = {}

\* A put while callers wait.
NeverAPutDuringALoad == ~(Of(effects, "Save") # {} /\ Some("Settle", LAMBDA s : s.outcome.age = 0) /\ Of(effects, "CancelLoad") # {})

\* A load cancelled because the last waiter left.
NeverALastWaiter == ~(Len(effects) = 1 /\ Of(effects, "CancelLoad") # {})

\* A removed flight that is still awaited while the key's next one is under way.
NeverTwoFlights == ~(detached # {} /\ HasFlight(entry))

\* The result of a superseded load arriving while the next one is under way.
NeverALateResult == ~(Some("Settle", LAMBDA s : s.generation # entry.flight.generation /\ IsValue(s.outcome)) /\ entry.state = "Pending")

\* A load that was slower than the ttl of its own value.
NeverATooSlowLoad == ~(entry.state = "Fresh" /\ Of(effects, "Save") # {} /\ FreshUntil(entry) <= 0)

-----------------------------------------------------------------------------
(* What is not promised. These fail too, and that is as it should be.      *)

\* A hit is what is true now: no, it was true at most ttl ago.
HitsAreTrueInv == ~Some("Answer", LAMBDA a : IsValue(a.outcome) /\ a.outcome.value # truth)

\* Only one load of a key runs at a time: no, one that was superseded runs on until it ends or is cancelled.
OneLoadInTheAirInv == Cardinality(loads) <= 1

\* Who waits when the key is invalidated gets a value read after that: no, he gets his own load's result.
InvalidationReachesWaitersProp ==
  [][ \A s \in Of(effects', "Settle") : WaitersOf(s.generation) # {} /\ IsValue(s.outcome) => s.outcome.value >= floor ]_vars

\* Who waits for a load gets a value younger than ttl: no, one as old as the load was long, however late he joined it.
WaitersGetFreshValuesProp ==
  [][ \A s \in Of(effects', "Settle") : WaitersOf(s.generation) # {} /\ IsValue(s.outcome) => s.outcome.age < Ttl ]_vars
=============================================================================
