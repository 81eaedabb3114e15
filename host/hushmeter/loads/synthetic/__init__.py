"""Synthetic homes: a small street for the demo, and one-minute loads with the appliances' truth.

`synthetic_street` needs numpy only. The homes of `hushmeter.loads.synthetic.street` follow the
published statistics of British homes and are compiled:

    occupancy    how many residents are at home and awake, a Markov chain by time of day
    activities   what they do then, by time of day
    appliances   33 appliances: who owns them, how often they run, how long, at what power
    lighting     lamps that are switched on when it is dark and somebody is there
    events       from all these to events (appliance, start, end, watts)
    render       from events to watts, a minute or a second a row
    street       many homes, streamed; reproducible from a seed
    figures      what a street adds up to, beside published figures
"""

from hushmeter.loads.synthetic.simple import synthetic_street

__all__ = ["synthetic_street"]
