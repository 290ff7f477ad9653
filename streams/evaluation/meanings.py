"""What each figure of a result means, in one line, for those who read it; formulas are where it is computed."""

MEANINGS = {
    "hit_rate": "share of cases with at least one target among the k items shown",
    "recall": "share of a case's targets that are among the k items",
    "precision": "share of the k places that hold a target",
    "f1": "harmonic mean of a case's precision and recall",
    "ndcg": "hits count less further down; 1 is the best order there is",
    "mrr": "1 / rank of the first hit, 0 without one",
    "map": "precision at each hit's rank, summed, over the number of hits possible",
    "coverage": "share of the catalogue that is shown to anybody",
    "diversity": "share of a slate's pairs of items that lie in different categories",
    "novelty": "how unlikely an item is in the log, in bits: popular items score low",
    "popularity_bias": "how many times as popular as the average item what is shown is",
    "auc": "how often a target has a higher probability than what was shown and is none; 0.5 is chance",
    "log_loss": "how surprised the probabilities are by what came, in nats; lower is better",
    "ece": "how far the probabilities are from what they promise, on average; 0 is the best",
}
CEILING = "share of the targets that retrieval found at all: no order of the candidates has a higher recall"
INTERVAL = "95\u00a0% interval: where such means lie if the users are drawn anew (bootstrap)"
