"""How good slates are on a log: protocols make cases of it, policies rank for them, metrics compare with what came."""
