"""Closed ranges of whole numbers."""


class Range:
    def __init__(self, low, high):
        if low > high:
            raise ValueError("low is above high")
        self.low = low
        self.high = high

    def __len__(self):
        return self.high - self.low + 1

    def __contains__(self, number):
        return self.low <= number <= self.high

    def overlaps(self, other):
        return self.low <= other.high and other.low <= self.high

    def joined(self, other):
        if not self.overlaps(other):
            raise ValueError("the ranges do not touch")
        return Range(min(self.low, other.low), max(self.high, other.high))


def merged(ranges):
    result = []
    for item in sorted(ranges, key=lambda r: r.low):
        if result and result[-1].overlaps(item):
            result[-1] = result[-1].joined(item)
        else:
            result.append(item)
    return result
