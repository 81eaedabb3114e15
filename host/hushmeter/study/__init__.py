"""Studies: a publication's experiments run again, one command each, with the paper beside them.

homes          the homes that a study looks at: synthetic ones, or those of the user's file
run            work spread over processes or a dask cluster, with the same results
stepping       Yang et al., CCS 2012: stepping controllers against BE and NILL
equal_privacy  its Table 6: how much smaller a battery may be for the same privacy
published      what that paper says, and whether it holds here
"""
