const DAYS = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

function isLeap(year) {
  return (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0;
}

function daysInMonth(year, month) {
  if (month < 1 || month > 12) {
    throw new RangeError("month");
  }
  return month === 2 && isLeap(year) ? 29 : DAYS[month - 1];
}

function dayOfYear(year, month, day) {
  let total = day;
  for (let m = 1; m < month; m += 1) {
    total += daysInMonth(year, m);
  }
  return total;
}

module.exports = { isLeap, daysInMonth, dayOfYear };
